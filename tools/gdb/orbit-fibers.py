"""GDB commands that list Orbit's fibers and print their stacks, in a live process or a core.

    (gdb) source tools/gdb/orbit-fibers.py
    (gdb) orbit-fibers                  one line a fiber, for every thread that runs a shard
    (gdb) orbit-fibers --waiting 10     only those that wait since 10 s or more, longest first
    (gdb) orbit-fiber-stack N           the stack of fiber number N of that list
    (gdb) orbit-fiber-stack all         the stacks of all

A fiber's saved registers lie on its stack in the order that engine/rt/context.c draws; the script
lets GDB unwind from them, and puts the thread's own registers back afterwards. A core's registers
cannot be written, so there the frames are found by the chain of frame pointers, which Orbit's own
code keeps (-fno-omit-frame-pointer).
"""

import gdb

FRAMES_MAX = 200
FIBERS_MAX = 1 << 20
# As context_swap pushes them, from the saved stack pointer upwards, in 8-byte words; word 0 holds
# the floating-point modes.
SAVED_WORDS = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]
SAVED_BYTES = 8 * (1 + len(SAVED_WORDS))


def list_members(head, type_name, member):
    """The structs that an engine/base/list.h list links."""
    struct = gdb.lookup_type("struct " + type_name)
    offset = next(f.bitpos // 8 for f in struct.fields() if f.name == member)
    char_pointer = gdb.lookup_type("char").pointer()
    node = head["next"]
    count = 0
    while int(node) != int(head.address) and count < FIBERS_MAX:
        yield (node.cast(char_pointer) - offset).cast(struct.pointer()).dereference()
        node = node["next"]
        count += 1


def text_of(value):
    """An enumerator or a C string, short."""
    if value.type.strip_typedefs().code == gdb.TYPE_CODE_PTR:
        return value.string()
    return str(value).replace("FIBER_", "").lower()


def shards():
    """(thread, shard) of every thread that has a current shard. The kernel's workers for a ring
    (iou-wrk) share the memory of the thread that made it and come after it: they are left out."""
    selected = gdb.selected_thread()
    found = []
    seen = set()
    for thread in sorted(gdb.selected_inferior().threads(), key=lambda t: t.num):
        thread.switch()
        try:
            shard = gdb.parse_and_eval("'shard.c'::shard_bound")
        except gdb.error:
            continue
        if int(shard) != 0 and int(shard) not in seen:
            seen.add(int(shard))
            found.append((thread, shard.dereference()))
    if selected is not None:
        selected.switch()
    return found


def fibers():
    """(number, thread, shard, fiber) in the order of spawning."""
    number = 0
    for thread, shard in shards():
        for fiber in list_members(shard["fibers"], "fiber", "all_link"):
            yield number, thread, shard, fiber
            number += 1


def waited_us(shard, fiber):
    return max(0, int(shard["turn_us"]) - int(fiber["since_us"]))


def read_words(address, count):
    memory = gdb.selected_inferior().read_memory(address, 8 * count)
    raw = bytes(memory)
    return [int.from_bytes(raw[i * 8:i * 8 + 8], "little") for i in range(count)]


def print_frame(level, pc):
    symbol = str(gdb.parse_and_eval(f"(void (*)(void)){pc:#x}"))
    name = symbol[symbol.find("<"):] if "<" in symbol else ""
    place = gdb.find_pc_line(max(pc - 1, 0))
    line = f" at {place.symtab.filename}:{place.line}" if place.symtab is not None else ""
    print(f"#{level:<3} {pc:#018x} {name}{line}")


def print_by_frame_pointers(registers, low, high):
    """Walk the chain of rbp; it ends at the zeroes on top of the stack."""
    print_frame(0, registers["rip"])
    rbp = registers["rbp"]
    for level in range(1, FRAMES_MAX):
        if not low <= rbp <= high - 16:
            break
        rbp, pc = read_words(rbp, 2)
        if pc == 0:
            break
        print_frame(level, pc)


def print_by_unwinder(registers):
    """Lend the fiber's registers to the selected thread while GDB prints its stack."""
    names = list(registers)
    saved = {name: int(gdb.parse_and_eval(f"(unsigned long)${name}")) for name in names}
    gdb.execute("select-frame level 0", to_string=True)
    try:
        for name in names:
            gdb.execute(f"set ${name} = {registers[name]:#x}", to_string=True)
        gdb.execute(f"backtrace {FRAMES_MAX}")
    finally:
        gdb.execute("select-frame level 0", to_string=True)
        for name in names:
            gdb.execute(f"set ${name} = {saved[name]:#x}", to_string=True)


def print_stack(thread, fiber):
    thread.switch()
    if text_of(fiber["state"]) == "running":
        gdb.execute(f"backtrace {FRAMES_MAX}")
        return
    context = fiber["context"]
    low = int(context["stack_low"])
    high = low + int(context["stack_bytes"])
    pointer = int(context["stack_pointer"])
    if not low <= pointer <= high - SAVED_BYTES:
        print(f"the saved stack pointer {pointer:#x} is outside {low:#x}..{high:#x}")
        return
    words = read_words(pointer + 8, len(SAVED_WORDS))
    registers = dict(zip(SAVED_WORDS, words))
    registers["rsp"] = pointer + SAVED_BYTES
    try:
        print_by_unwinder(registers)
    except gdb.error:
        print_by_frame_pointers(registers, low, high)


def print_line(number, thread, shard, fiber):
    print(f"{number:>5}  thread {thread.num:<3} shard {int(shard['id']):<3} "
          f"{text_of(fiber['state']):<9} {text_of(fiber['class']):<11} "
          f"{waited_us(shard, fiber) / 1e6:>12.6f} s  {text_of(fiber['name'])}"
          + ("  canceled" if fiber["is_canceled"] else ""))


class OrbitFibers(gdb.Command):
    """List the fibers of all shards: orbit-fibers [--waiting SECONDS]"""

    def __init__(self):
        super().__init__("orbit-fibers", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        rows = list(fibers())
        if words[:1] == ["--waiting"] and len(words) == 2:
            least_us = float(words[1]) * 1e6
            rows = [row for row in rows if text_of(row[3]["state"]) == "waiting"
                    and waited_us(row[2], row[3]) >= least_us]
            rows.sort(key=lambda row: -waited_us(row[2], row[3]))
        elif words:
            raise gdb.GdbError("orbit-fibers [--waiting SECONDS]")
        for row in rows:
            print_line(*row)
        print(f"{len(rows)} fibers")


class OrbitFiberStack(gdb.Command):
    """Print the stack of one fiber, or of all: orbit-fiber-stack NUMBER|all"""

    def __init__(self):
        super().__init__("orbit-fiber-stack", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        selected = gdb.selected_thread()
        count = 0
        for row in list(fibers()):
            if wanted in ("all", str(row[0])):
                print_line(*row)
                print_stack(row[1], row[3])
                print()
                count += 1
        if selected is not None:
            selected.switch()
        if count == 0:
            raise gdb.GdbError("no such fiber; orbit-fibers lists them")


OrbitFibers()
OrbitFiberStack()
