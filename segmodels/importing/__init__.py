"""What labelling tools and published data sets write, brought into the layout of a data folder."""
