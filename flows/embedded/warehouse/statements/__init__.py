"""What each statement does, a file for each family; `dispatch` tells whose a statement is."""
