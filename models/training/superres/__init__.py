"""Super-resolution of small faces that serves the classifier behind it: training, export, the table of chains."""
