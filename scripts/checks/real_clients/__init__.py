"""What scripts/checks/clients.py drives real clients with."""
