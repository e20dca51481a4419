"""Pages that show machines and installs together. They read rows, and never talk to a BMC."""
