# Completions for bash: those of the installed petsem, read at the first Tab.
source <(petsem completions bash)
