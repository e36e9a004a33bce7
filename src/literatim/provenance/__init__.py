"""Where a result comes from: the machine, the software, the settings and the weights it was made with."""
