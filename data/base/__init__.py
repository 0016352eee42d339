"""What every package uses: errors, typed configuration, fixed-point words, files and folders that are written whole."""
