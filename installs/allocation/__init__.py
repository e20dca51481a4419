"""Machines for who asks: which ones (placement), in one transaction (asking), step by step to the cluster (turns)."""
