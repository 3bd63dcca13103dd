"""The handlers of statements, a file for each family; `dispatch` picks the family of a statement."""
