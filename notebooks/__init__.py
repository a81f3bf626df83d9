"""The notebooks, and the content that several of them use: the checks of the exercises, pictures to try."""
