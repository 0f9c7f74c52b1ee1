import threading

from demo.memory import Remembered


def test_a_value_is_made_once() -> None:
    remembered: Remembered[list[int]] = Remembered(2)
    first = remembered.get("a", lambda: [1])
    assert remembered.get("a", lambda: [2]) is first


def test_the_least_recently_used_goes_first() -> None:
    remembered: Remembered[int] = Remembered(2)
    for key in ("a", "b", "a", "c"):
        remembered.get(key, lambda: 0)
    assert [key in remembered for key in "abc"] == [True, False, True]


def test_heavy_values_leave_room_for_fewer() -> None:
    remembered: Remembered[bytes] = Remembered(10, len)
    for key in "abc":
        remembered.get(key, lambda: bytes(4))
    assert [key in remembered for key in "abc"] == [False, True, True]
    assert remembered.get("huge", lambda: bytes(99)) == bytes(99)
    assert [key in remembered for key in ("b", "c", "huge")] == [False, False, True]


def test_threads_that_ask_at_once_get_equal_values() -> None:
    remembered: Remembered[int] = Remembered(8)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda key=key: answers.append(remembered.get(key % 3, lambda: key % 3)))
        for key in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(key % 3 for key in range(30))
