"""The registry of an account: objects, their owners and grants, users' credentials, parameters."""
