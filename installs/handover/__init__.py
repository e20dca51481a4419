"""How a machine of the pool gets its owner: Dodai goes into its OS over SSH, by a key that opens this one OS only."""
