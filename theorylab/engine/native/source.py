"""A row's step, traced, as the text of a C function for many rows and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx

from theorylab.engine.native.library import vector_bytes
from theorylab.engine.native.lowering import HEADER, Lowering
from theorylab.engine.native.products import LANES, SOURCE, panels, shared_products
from theorylab.engine.native.values import Writer, count, kind_of
from theorylab.problem.tracing import traced_by_rows

__all__ = ["source", "trace"]

_STORAGE = frozenset({"layout", "device", "pin_memory", "memory_format", "dtype", "non_blocking"})
_LINE = 64  # bytes
_CACHE, _LANES = 1 << 13, 8  # bytes of state that go side by side, in so many rows at most
# All stretches of steps for some rows, by code for each, before the next rows are turned to.
_RELAY = r"""
typedef int64_t function(int64_t *, int64_t, int64_t, const int64_t *, const int64_t *,
                         const int64_t *);
int64_t relay(int64_t *next, int64_t rows, int64_t tile, int64_t count, const int64_t *stretches) {
  int64_t bad = 0;
  for (;;) {
    const int64_t first = __atomic_fetch_add(next, tile, __ATOMIC_RELAXED);
    if (first >= rows) return bad;
    const int64_t last = rows - first < tile ? rows : first + tile;
    for (const int64_t *s = stretches; s < stretches + 5 * count; s += 5) {
      int64_t here = first;
      const int64_t found = ((function *)s[0])(&here, last, s[1], (const int64_t *)s[2],
                                               (const int64_t *)s[3], (const int64_t *)s[4]);
      if (found < 0) return found;
      bad |= found;
    }
  }
}
"""


def trace(step: Callable[..., list[Tensor]], arguments: Sequence[Tensor]) -> fx.GraphModule:
    """The step as a graph of operations that change nothing in place."""
    from torch._decomp import core_aten_decompositions
    from torch._subclasses.functional_tensor import dispatch_functionalize
    from torch.fx.experimental.proxy_tensor import make_fx

    with torch.inference_mode(False), torch.no_grad(), traced_by_rows():
        # The tracer takes two arguments that are one tensor for the same argument.
        examples: list[Any] = [x.clone() for x in arguments]
        # Fake tensors hold no values, so none can end up in the code.
        table: Any = core_aten_decompositions()
        traced = make_fx(
            dispatch_functionalize(step),
            table, "fake", _allow_non_fake_inputs=True,
        )  # fmt: skip
        graph: fx.GraphModule = traced(*examples)
    _merged(graph.graph)
    graph.graph.eliminate_dead_code()
    return graph


def _merged(graph: fx.Graph) -> None:
    """What is computed twice is computed once: gradients at two points take the same samples."""
    known: dict[Any, fx.Node] = {}
    for node in graph.nodes:
        if node.op not in ("call_function", "get_attr"):
            continue
        told = node.target, repr((node.args, node.kwargs))  # names of nodes are their own
        before = known.setdefault(told, node)
        if before is not node:
            node.replace_all_uses_with(before)


def source(
    graph: fx.GraphModule, arguments: Sequence[tuple[str, Tensor]]
) -> tuple[str, list[str], list[Tensor]]:
    """C for the graph, the role of each of its inputs, and the tables that it reads."""
    nodes = list(graph.graph.nodes)
    outputs = nodes[-1].args[0]
    holders = [n for n in nodes if n.op == "placeholder"]
    carried = [role for role, _ in arguments if role == "w" or role.startswith("state.")]
    inputs = dict(zip(holders, arguments, strict=True))
    products = shared_products(graph)
    writer, values = Writer(in_parts=bool(products)), {}
    roles: list[str] = []
    kept: list[Tensor] = []
    turns: list[str] = []  # once for some rows
    heads: list[str] = []  # once a row
    each: list[str] = []  # once a row and step
    tails: list[str] = []
    # Rows take their steps side by side: one's arithmetic fills the other's waits.
    row = sum(x.numel() * x.element_size() for role, x in arguments if role in carried)
    lanes = LANES if products else int(np.clip(_CACHE // max(1, row), 1, _LANES))
    slots = {role: k for k, role in enumerate(carried)}
    strides: dict[str, int] = {}
    # What a row sometimes keeps as it is, it need not copy.
    placed = {} if products else _placed(inputs, dict(zip(carried, outputs, strict=True)))
    for k, (node, (role, example)) in enumerate(inputs.items()):
        kind = kind_of(example.dtype)
        shape = tuple(node.meta["val"].shape)
        size = int(example.numel())
        roles.append(role)
        start = f"(char *)base[{k}] + r * row[{k}]"
        if role in slots:
            s = slots[role]
            # A row alone may begin within a line of the cache; then each of its vectors is in two.
            wide = -(-size * example.element_size() // _LINE) * _LINE // example.element_size()
            apart = wide if size >= wide // 2 else size
            writer.arrays += [(kind, f"p{s}", lanes * apart), (kind, f"q{s}", lanes * apart)]
            turns.append(f"{kind} *c{s} = p{s}, *n{s} = q{s};")
            heads.append(f"memcpy(c{s} + l * {apart}, {start}, sizeof({kind}) * {size});")
            alone = "" if role in placed else "restrict "
            each.append(f"const {kind} *{alone}v{k} = c{s} + l * {apart};")
            each.append(f"{kind} *restrict w{s} = n{s} + l * {apart};")
            tails.append(f"memcpy({start}, c{s} + l * {apart}, sizeof({kind}) * {size});")
            strides[role] = apart
        else:
            move = "" if role.startswith(("field", "weights")) else f" + k * step[{k}]"
            each.append(f"const {kind} *restrict v{k} = (const {kind} *)({start}{move});")
        values[node] = writer.whole(f"v{k}", shape, kind)
    targets: dict[fx.Node, str] = {}
    for s, node in enumerate(outputs):
        if node not in inputs and carried[s] not in placed:
            targets.setdefault(node, f"w{s}")
    tables: dict[str, int] = {}
    laid: dict[fx.Node, str] = {}
    for node, table in products.items():
        laid[node] = f"(const {kind_of(table.dtype)} *)base[{len(roles)}]"
        roles.append("kept")
        kept.append(panels(table))
    w = arguments[0][1]
    lowering = Lowering(writer, targets, laid, vector_bytes(w.shape[-1] * w.element_size()))
    for node in nodes:
        if node.op == "get_attr":
            if node.target not in tables:
                tables[node.target] = len(roles)
                roles.append("kept")
                table = getattr(graph, node.target).detach()
                kept.append(table.contiguous())
            k = tables[node.target]
            table = getattr(graph, node.target)
            values[node] = writer.whole(f"v{k}", tuple(table.shape), kind_of(table.dtype))
            node.meta.setdefault("val", table)
        elif node.op == "call_function":
            args: Any = fx.node.map_arg(node.args, cast(Any, values.__getitem__))
            options = {
                name: values[given] if isinstance(given, fx.Node) else given
                for name, given in node.kwargs.items()
                if name not in _STORAGE
            }
            values[node] = lowering.value(node, args, options)
    for name, k in tables.items():
        kind = kind_of(getattr(graph, name).dtype)
        each.append(f"const {kind} *restrict v{k} = (const {kind} *)base[{k}];")
    swaps, copies = [], []
    for s, (role, node) in enumerate(zip(carried, outputs, strict=True)):
        if node in inputs and inputs[node][0] == role:
            continue
        if role in placed:
            flag, new = (values[x] for x in placed[role])
            copies.append(f"if ({flag.at(['0'] * len(flag.shape))}) "
                          f"memcpy(c{s} + l * {strides[role]}, {new.array}, "
                          f"sizeof({new.kind}) * {count(new.shape)});")  # fmt: skip
            continue
        if targets.get(node) != f"w{s}":
            writer.store(values[node], f"w{s}")
        kind = values[node].kind
        swaps.append(f"{{ {kind} *t = c{s}; c{s} = n{s}; n{s} = t; }}")
    writer.lines += copies  # when all has been read
    body = [line for part, call in writer.laid_out(lanes)
            for line in ("LANES {", *each, *part, "}", call)]  # fmt: skip
    made, freed = writer.declarations()
    kinds = sorted({kind_of(table.dtype) for table in products.values()})
    lines = [
        HEADER, *([SOURCE] if kinds else []), *(f"PRODUCT({kind})" for kind in kinds),
        f"const int64_t height = {lanes};",
        "int64_t run(int64_t *next, int64_t last, int64_t steps, const int64_t *base,",
        "            const int64_t *row, const int64_t *step) {", "int64_t bad = 0;", *made,
        "for (;;) {",
        f"const int64_t r0 = __atomic_fetch_add(next, {lanes}, __ATOMIC_RELAXED);",
        "if (r0 >= last) break;",
        f"const int64_t lanes = last - r0 < {lanes} ? last - r0 : {lanes};", *turns,
        "#define LANES for (int64_t l = 0, r = r0; l < lanes; l++, r++)",
        "LANES {", *heads, "}",
        "for (int64_t k = 0; k < steps; k++) {", *body, *swaps, "}",
        "LANES {", *tails, "}", "}",
        *freed, "return bad;", "}", _RELAY,
    ]  # fmt: skip
    return "\n".join(lines), roles, kept


def _placed(
    inputs: Mapping[fx.Node, tuple[str, Tensor]], outputs: Mapping[str, fx.Node]
) -> dict[str, tuple[fx.Node, fx.Node]]:
    """Entries that become another input or stay, by one flag a row: the flag, and that input."""
    found = {}
    for role, node in outputs.items():
        if node.op == "call_function" and str(node.target).split(".")[-2:-1] == ["where"]:
            flag, new, old = cast("tuple[fx.Node, ...]", node.args)
            mine = inputs[old][0] == role if old in inputs else False
            if mine and new in inputs and flag.meta["val"].numel() == 1 and _alike(node, new, old):
                found[role] = flag, new
    # None of them is read when it may have changed already.
    return {k: (flag, new) for k, (flag, new) in found.items() if inputs[new][0] not in found}


def _alike(*nodes: fx.Node) -> bool:
    return len({(x.meta["val"].shape, x.meta["val"].dtype) for x in nodes}) == 1
