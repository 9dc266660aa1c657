# Completions for fish: those of the installed petsem, read at the first Tab.
petsem completions fish | source
