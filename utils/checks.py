"""The answers of the exercises: ✅, or a hint that helps without giving the answer away."""

_CHECKS = {}


def check(exercise, *answers):
    """Say whether the answer to an exercise is right.

    Prints one line and never raises: a wrong answer is part of learning and stops no notebook.

    Args:
        exercise: number of the notebook and of the exercise in it, as in "01.2".
        *answers: what the exercise asks for; `...` stands for an answer that is still missing.
    """
    print(f"Exercise {exercise}: {_judge(exercise, answers)}")


def _judge(exercise, answers):
    if exercise not in _CHECKS:
        return f"there is none of this number; there are: {', '.join(sorted(_CHECKS))}."
    if any(answer is ... for answer in answers):
        return "not answered yet: put your own code in the place of the three dots."
    try:
        hint = _CHECKS[exercise](*answers)
    except Exception as error:  # an answer of the wrong kind can fail anywhere
        return f"not yet. The check cannot use this answer ({type(error).__name__}: {error}). Is it what was asked for?"
    return f"not yet. {hint}" if hint else "✅ right."


def _exercise(number):
    """Register a function from the answers to a hint, or to None where they are right."""

    def register(function):
        _CHECKS[number] = function
        return function

    return register
