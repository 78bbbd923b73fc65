"""What a person can act on: a problem and its remedy, one clear line each."""


class PortraitistError(Exception):
    """Something a person caused or can mend; ends a command with exit code 2, never with a traceback.

    problem  what is wrong, with the name or number that shows it
    remedy   what to do about it
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n{self.remedy}"

    def __reduce__(self) -> tuple[type["PortraitistError"], tuple[str, str]]:
        """Both words come through when it travels between processes."""
        return type(self), (self.problem, self.remedy)


class Interrupted(Exception):  # noqa: N818 - not an error: a person or the system asked to stop
    """A stop was asked for (SIGINT, SIGTERM, stop file) and state has been saved; exit code 130."""
