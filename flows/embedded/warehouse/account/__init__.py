"""What the account knows: its objects, their owners and grants, users' credentials, parameters."""
