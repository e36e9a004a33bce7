"""Kernels in C for the CPU, where they could be built: `library.find` says which there are."""
