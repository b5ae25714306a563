"""Loops of workers without models. A worker imports the module of its loop, so torch must not be imported here."""


def squares(pipe, offset):
    """Answer three numbers with their squares."""
    pipe.send("ready")
    for _ in range(3):
        pipe.send(pipe.recv() ** 2 + offset)
    return "done"


def breaks(pipe):
    """End with an error."""
    raise OSError("the disk is full")
