"""What Gemini's format needs and the mapping language has no words for."""

from typing import Any


def at(items: Any, places: Any) -> list[Any]:
    """The items at these places of the list; the sources of an answer are told once, and cited by their number.

    >>> at(["a", "b", "c"], [2, 0, 7])
    ['c', 'a']
    """
    if type(items) is not list or type(places) is not list:
        return []
    return [items[place] for place in places if type(place) is int and 0 <= place < len(items)]
