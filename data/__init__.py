"""Events: calorimeter grid, fixed-point words, event images and their files, generation, preprocessing."""
