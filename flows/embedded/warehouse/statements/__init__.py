"""What each statement does, a file for each family; `dispatch` picks the family of a statement."""
