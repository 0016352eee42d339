"""The conditional dual auto-encoder (CoDAE) and its categorical variant CoDVAE: layers, losses, scores."""
