"""What a trigger group takes away: the C++17 emulator, RTL from towers to accept bits, thresholds, vectors."""
