"""What a user can mend."""


class InputError(Exception):
    """Bad input: one sentence that names the file or value, the rule and the choices."""
