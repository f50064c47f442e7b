"""Pickles read as plain data: nothing they name is looked up, and nothing they would call is called.

Python's own tokenizer (`pickletools.genops`) splits the stream; the small stack machine below keeps numbers, text and
containers as they are, and puts a `Record` where a pickle would have made an object of any other kind.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ptychopinn_backend.arrays import AnyArray, is_plain_dtype

MAX_VALUES: Final = 1_000_000
"""Values that plain data may hold, each counted as often as it is reached."""
MAX_ARRAY_BYTES: Final = 2**28
"""Size of an array in a pickle of an early protocol."""
MAX_STEPS: Final = 1_000_000
"""Instructions a pickle may have; each takes about a microsecond."""

_ARRAY_MODULES: Final = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES: Final = ("numpy.core.numeric", "numpy._core.numeric")
_PLAIN_KINDS: Final = "biufcSU"
_MARK: Final = object()


@dataclass(frozen=True)
class GlobalName:
    """What a pickle refers to by name; it is not looked up."""

    module: str
    """Where it would be imported from."""
    name: str
    """Its name there."""


@dataclass(eq=False)
class Record:
    """What a pickle would have made by a call that is not made."""

    made_by: Any
    """Usually a `GlobalName`."""
    args: tuple[Any, ...]
    """Arguments of the call."""
    state: Any = None
    """State it would be given afterwards."""
    items: list[Any] = field(default_factory=list)
    """What would be appended to it."""
    entries: dict[Any, Any] = field(default_factory=dict)
    """What would be set in it by key."""


def read_inert(data: bytes) -> Any:
    """Read a pickle without executing any of it.

    Args:
        data: the pickle.

    Returns:
        Numbers, text, bytes, None and containers of them; `GlobalName` and `Record` for everything else.

    Raises:
        ValueError: it is damaged, or uses what no file of numbers needs.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                return machine.stack.pop()
            if count == MAX_STEPS:
                raise ValueError(f"a pickle of more than {MAX_STEPS} instructions")
            machine.step(opcode.name, argument)
    except ValueError:
        raise
    except Exception as error:
        # The tokenizer and the stack report damage by almost any class, IndexError and UnicodeDecodeError among them.
        raise ValueError(f"a damaged pickle ({error or type(error).__name__})") from error
    raise ValueError("a pickle without an end")


def plain_value(value: Any, most_values: int = MAX_VALUES) -> Any:
    """Return what was read as plain data, arrays and scalars of NumPy as lists and numbers.

    Args:
        value: from `read_inert`.
        most_values: values it may hold, each counted as often as it is reached.

    Returns:
        None, bool, int, float, complex, str, bytes, list or dict.

    Raises:
        ValueError: it holds anything else, or too much.
    """
    try:
        return _Plain(most_values).convert(value, 0)
    except ValueError:
        raise
    except Exception as error:  # arguments and states of any kind
        raise ValueError(f"a damaged pickle ({error or type(error).__name__})") from error


def array_value(value: Any) -> AnyArray:
    """Return an array of plain numbers that was read.

    Args:
        value: from `read_inert`.

    Returns:
        The array, not writable; its numbers are those of the pickle, not copied.

    Raises:
        ValueError: it is none.
    """
    try:
        array = _Plain(MAX_ARRAY_BYTES).array_of(value)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"no array of numbers ({error or type(error).__name__})") from error
    if not is_plain_dtype(array.dtype):
        raise ValueError(f"an array of the type {array.dtype}")
    return array


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _MEMO_WRITES:
            self._memo[len(self._memo) if argument is None else int(argument)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self._memo[int(argument)])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"a pickle that uses {name}")

    def to_mark(self) -> list[Any]:
        start = next(i for i in range(len(self.stack) - 1, -1, -1) if self.stack[i] is _MARK)
        taken = self.stack[start + 1 :]
        del self.stack[start:]
        return taken

    def name_on_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(GlobalName(str(module), str(name)))

    def name_in_line(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(GlobalName(module, name))

    def reduce(self, _: Any) -> None:
        args, made_by = self.stack.pop(), self.stack.pop()
        self.stack.append(Record(made_by, _arguments(args)))

    def new_with_keywords(self, _: Any) -> None:
        keywords, args, made_by = self.stack.pop(), self.stack.pop(), self.stack.pop()
        if not isinstance(keywords, dict):
            raise ValueError("a pickle with keywords that are no dictionary")
        self.stack.append(Record(made_by, _arguments(args), entries=keywords))

    def old_object(self, argument: str | None) -> None:
        taken = self.to_mark()
        if argument is None:
            self.stack.append(Record(taken[0], tuple(taken[1:])))
        else:
            self.name_in_line(argument)
            self.stack.append(Record(self.stack.pop(), tuple(taken)))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Record):
            raise ValueError("a pickle that gives a state to plain data")
        self.stack[-1].state = state

    def extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        (target.items if isinstance(target, Record) else target).extend(values)

    def enter(self, values: list[Any]) -> None:
        target = self.stack[-1]
        entries = target.entries if isinstance(target, Record) else target
        for key, value in zip(values[::2], values[1::2], strict=True):
            entries[_hashable(key)] = value

    def add(self, _: Any) -> None:
        values = self.to_mark()
        self.stack[-1].update(map(_hashable, values))

    def gather(self, count: int) -> None:
        taken = self.stack[len(self.stack) - count :] if count else []
        del self.stack[len(self.stack) - count :]
        self.stack.append(tuple(taken))


def _arguments(value: Any) -> tuple[Any, ...]:
    # Anything else would be copied, and a short pickle can mention one long list many times.
    if not isinstance(value, tuple):
        raise ValueError("a pickle with arguments that are no tuple")
    return value


def _hashable(key: Any) -> Any:
    if isinstance(key, tuple):
        # A tuple of tuples takes exponentially long to hash where each mentions the one before twice.
        if not all(isinstance(part, _KEYS) for part in key):
            raise ValueError("a pickle with a nested tuple as key")
        return key
    if not isinstance(key, _KEYS):
        raise ValueError(f"a pickle with a {type(key).__name__} as key")
    return key


_KEYS: Final = (str, bytes, int, float, bool, GlobalName, Record, type(None))
_NO_LITERALS: Final = frozenset(("GLOBAL", "PERSID", "GET", "BINGET", "LONG_BINGET", "EXT1", "EXT2", "EXT4"))
_LITERALS: Final = frozenset(
    opcode.name
    for opcode in pickletools.opcodes
    if opcode.arg and opcode.stack_after and not opcode.stack_before and opcode.name not in _NO_LITERALS
)
_CONSTANTS: Final[dict[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}
_MEMO_WRITES: Final = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_STEPS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "GLOBAL": _Machine.name_in_line,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "INST": _Machine.old_object,
    "OBJ": _Machine.old_object,
    "BUILD": _Machine.build,
    "PERSID": lambda machine, argument: machine.stack.append(Record("persistent_id", (argument,))),
    "BINPERSID": lambda machine, _: machine.stack.append(Record("persistent_id", (machine.stack.pop(),))),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.to_mark()),
    "SETITEM": lambda machine, _: machine.enter([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.enter(machine.to_mark()),
    "ADDITEMS": _Machine.add,
    "FROZENSET": lambda machine, _: machine.stack.append(frozenset(map(_hashable, machine.to_mark()))),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, _: machine.gather(1),
    "TUPLE2": lambda machine, _: machine.gather(2),
    "TUPLE3": lambda machine, _: machine.gather(3),
    "LIST": lambda machine, _: machine.stack.append(machine.to_mark()),
    "DICT": lambda machine, _: machine.stack.append(dict(_pairs(machine.to_mark()))),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "POP": lambda machine, _: machine.stack.__delitem__(-1),
    "POP_MARK": lambda machine, _: machine.to_mark().clear(),
}


def _pairs(values: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(map(_hashable, values[::2]), values[1::2], strict=True)


class _Plain:
    def __init__(self, most_values: int) -> None:
        self._left = most_values

    def convert(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > 50:
            raise ValueError("more data than a description holds")
        if isinstance(value, list | tuple | set | frozenset):
            return [self.convert(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {key: self.convert(item, depth + 1) for key, item in value.items()}
        if isinstance(value, Record):
            return self._of_numpy(value, depth)
        if isinstance(value, GlobalName):
            raise ValueError(f"the name {value.module}.{value.name}")
        return value

    def _of_numpy(self, record: Record, depth: int) -> Any:
        name = _name_of(record)
        if name == GlobalName("_codecs", "encode"):
            # Protocols before 3 spell bytes so. They are copied, so they count.
            text = str(record.args[0])
            self._left -= len(text)
            if self._left < 0:
                raise ValueError("more data than a description holds")
            return text.encode("latin-1")
        if name.module in ("__builtin__", "builtins") and name.name in ("set", "frozenset", "bytes", "bytearray"):
            return self.convert(record.args[0], depth + 1) if record.args else []
        if name == GlobalName("collections", "OrderedDict"):
            return self.convert(record.entries, depth + 1)
        if name.module in _ARRAY_MODULES and name.name == "scalar":
            dtype, content = record.args
            return self._array(content, dtype, (1,), "C").tolist()[0]
        if name.module in _ARRAY_MODULES and name.name == "_reconstruct" and isinstance(record.state[4], list):
            values = self.convert(record.state[4], depth + 1)
            return values[0] if record.state[1] == () and values else values
        array = self.array_of(record)
        self._left -= array.size
        if self._left < 0:
            raise ValueError("more data than a description holds")
        return array.tolist()

    def array_of(self, record: Record) -> AnyArray:
        """Return the array of numbers a record describes, without copying them."""
        name = _name_of(record)
        if name.module in _BUFFER_MODULES and name.name == "_frombuffer":
            content, dtype, shape, order = record.args
        elif name.module in _ARRAY_MODULES and name.name == "_reconstruct":
            shape, dtype, fortran_order, content = record.state[1:5]
            order = "F" if fortran_order else "C"
        else:
            raise ValueError(f"an object of {name.module}.{name.name}")
        return self._array(content, dtype, shape, order)

    def _array(self, content: Any, dtype: Any, shape: Any, order: Any) -> AnyArray:
        found = content if isinstance(content, bytes | bytearray) else self.convert(content, 0)
        return np.frombuffer(found, _dtype(dtype)).reshape(shape, order=order)


def _name_of(record: Record) -> GlobalName:
    return record.made_by if isinstance(record.made_by, GlobalName) else GlobalName("?", str(record.made_by)[:40])


def _dtype(value: Any) -> np.dtype[Any]:
    if not isinstance(value, Record) or value.made_by != GlobalName("numpy", "dtype"):
        raise ValueError("an array without a type")
    text = str(value.args[0])
    if text[:1] not in _PLAIN_KINDS or not text[1:].isdigit():
        raise ValueError(f"an array of the type {text[:20]!r}")
    order = value.state[1] if isinstance(value.state, tuple) else "="
    return np.dtype(text).newbyteorder("<" if order == "<" else ">" if order == ">" else "=")
