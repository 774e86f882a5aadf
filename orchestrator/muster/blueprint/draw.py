"""A graph as DOT or Mermaid text. No program of Graphviz is needed."""

import html
from typing import Final

import graphviz  # type: ignore[import-untyped]

from muster.core.graph import BUILT_IN_STATES, Graph

_INDENT: Final = "  "


def dot(graph: Graph) -> str:
    """DOT: the start is drawn with a double frame, the final states as double circles. All names are quoted."""
    return str(digraph(graph).source)


def digraph(graph: Graph) -> graphviz.Digraph:
    """The drawing as the `graphviz` package holds it; only its `render` and `pipe` need the `dot` program."""
    nodes = [f"\t{_quoted(state)}{_dot_look(graph, state)};\n" for state in _nodes(graph)]
    edges = [f"\t{_quoted(e.source)} -> {_quoted(e.target)} [label={_quoted(e.label)}];\n" for e in graph.edges]
    return graphviz.Digraph(
        graph.name,
        graph_attr={"rankdir": "LR"},
        node_attr={"shape": "box", "style": "rounded"},
        body=[*nodes, *edges, *_dot_undos(graph)],
    )


def mermaid(graph: Graph) -> str:
    """A Mermaid flow chart: the start as a stadium, the final states as double circles."""
    ids = {state: f"s{number}" for number, state in enumerate(_nodes(graph))}
    nodes = [f"{_INDENT}{ids[state]}{_mermaid_look(graph, state)}" for state in ids]
    edges = [f"{_INDENT}{ids[e.source]} -->|{_escaped(e.label)}| {ids[e.target]}" for e in graph.edges]
    tasks = {task: f"u{number}" for number, task in enumerate(dict.fromkeys(task for _, task in graph.undos))}
    nodes += [f"{_INDENT}{ids_of}>{_escaped(task)}]" for task, ids_of in tasks.items()]
    edges += [f"{_INDENT}{ids[state]} -.->|undo| {tasks[task]}" for state, task in graph.undos]
    return "\n".join(["flowchart LR", *nodes, *edges]) + "\n"


def _dot_undos(graph: Graph) -> list[str]:
    """The tasks that undo, as nodes of their own; a task may be called as a state is."""
    tasks = dict.fromkeys(task for _, task in graph.undos)
    nodes = [f"\t{_quoted(f'undo {task}')} [label={_quoted(task)}, shape=note, style=dashed];\n" for task in tasks]
    look = "[label=undo, style=dashed]"
    return [*nodes, *(f"\t{_quoted(state)} -> {_quoted(f'undo {task}')} {look};\n" for state, task in graph.undos)]


def _nodes(graph: Graph) -> list[str]:
    """States in order, then the built-in ones that are used."""
    used = [edge.target for edge in graph.edges if edge.target in BUILT_IN_STATES]
    return list(dict.fromkeys([*graph.states, *sorted(used, reverse=True)]))


def _dot_look(graph: Graph, state: str) -> str:
    if state == graph.start:
        return " [peripheries=2, style=bold]"
    return " [shape=doublecircle]" if state in BUILT_IN_STATES else ""


def _mermaid_look(graph: Graph, state: str) -> str:
    if state == graph.start:
        return f"([{_escaped(state)}])"
    return f"((({_escaped(state)})))" if state in BUILT_IN_STATES else f"[{_escaped(state)}]"


def _quoted(text: str) -> str:
    # In a DOT string only the quote is special to the reader; a backslash starts an escape of the drawer.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _escaped(text: str) -> str:
    flat = html.escape(" ".join(text.split()), quote=True)
    return '"' + flat.replace("&quot;", "#quot;").replace("&#x27;", "'") + '"'
