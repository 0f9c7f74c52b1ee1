"""What comes before a network and after it: photos in, label maps and pictures out."""
