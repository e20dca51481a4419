"""What somebody else adds to Dodai: nothing in the product knows of it (docs/adding-an-install-method.md)."""
