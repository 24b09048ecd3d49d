"""What a user can put right."""


class InputError(ValueError):
    """An option, a file or an image cannot be used.

    The message is a paragraph for the user: what was expected, what was found, what to do. Commands print it without a
    traceback.
    """
