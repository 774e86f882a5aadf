"""What a decision says of a task's workers, as a value of the core."""

from muster_worker.needs import Where, checked_rules, checked_where, chosen, cost_rule, preferred

from muster.core.decisions import Placement
from muster.core.matching import Choice


def placement_of(where: Where) -> Placement | None:
    """None where anybody may do it who offers the type. Raises InvalidNeeds."""
    if not where:
        return None
    checked_where(where)
    needs, max_cost = where.get("needs"), where.get("max_cost")
    prefer, choice = preferred(where.get("prefer")), chosen(where.get("choose"))
    rules = [*(needs.rules() if needs else ()), *([] if max_cost is None else [cost_rule(max_cost)])]
    placement = Placement(
        checked_rules(rules),
        None if choice is None else Choice(choice.policy, choice.overflow_ms),
        () if prefer is None else prefer.rules(),
        0 if prefer is None else prefer.wait_ms,
    )
    return None if placement == Placement() else placement
