"""What a trigger takes over: the C++17 emulator, RTL from towers to accept bits, thresholds, vectors."""
