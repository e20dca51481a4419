"""Writes images onto disks that machines export by iSCSI: the machine's side in exporting, Dodai's in copying."""
