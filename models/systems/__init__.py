"""The systems that the CoDAE is compared with, one class each, behind one protocol."""
