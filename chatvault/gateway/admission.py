"""Who may go on: rates and concurrency at the door, budgets once the price is known.

A request that has come in has a ticket (`core/accounts`), which the books settle with its row. The look at a
budget and the hold lie in one turn of the event loop: a hundred requests can't all take the room for one.
"""

from collections.abc import Callable
from dataclasses import replace

from chatvault.core.account import Account
from chatvault.core.accounts import Accounts, TooMany
from chatvault.core.budget import Per
from chatvault.core.chat import ChatRequest
from chatvault.core.estimate import input_estimate
from chatvault.core.money import usd_text
from chatvault.errors import RequestError
from chatvault.gateway.answers import Headers
from chatvault.gateway.auth import PROBE_ID
from chatvault.gateway.call import Call
from chatvault.gateway.planning import Plan, PricedRoute, ceiling_with, hold_of
from chatvault.gateway.rate_headers import rate_headers

# An answer shorter than this is of no use to most: better to say that the budget is spent.
LEAST_CUT_TOKENS = 1024
_PERIODS: dict[Per, str] = {"day": "today's budget", "month": "this month's budget", "total": "the budget"}


class Admission:
    """Let requests in, and hold what they may cost.

    With `may_cut`, a request that names no `max_tokens` gets a smaller one where the budget can't hold the
    model's own; with `blocks_unpriced`, what has no price isn't sent while a budget applies. `clock` is
    monotonic, in seconds.
    """

    def __init__(
        self,
        accounts: Accounts,
        *,
        may_cut: bool,
        blocks_unpriced: bool,
        clock: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._may_cut = may_cut
        self._blocks_unpriced = blocks_unpriced
        self._clock = clock

    def enter(self, call: Call) -> RequestError | None:
        """Give the call its ticket, or return the 429 where a rate or the concurrency is against it.

        It is not raised at once: the row of a refused request, too, names the model that was asked for.
        """
        if call.token.id == PROBE_ID:
            return None
        ticket = self._accounts.enter(
            call.token.id, call.token.user, now_ms=call.started_ms, clock_ms=int(call.started * 1000)
        )
        if isinstance(ticket, TooMany):
            return _too_many(ticket)
        call.ticket = ticket
        return None

    def hold(self, call: Call, request: ChatRequest, plan: Plan) -> Plan:
        """Hold the ceiling of `plan` against every budget; return the plan that is held.

        Routes that no budget has room for are left out, or cut. Raises RequestError (429 or 403) where none
        is left.
        """
        ticket = call.ticket
        if ticket is None:
            return plan
        if ticket.counts_tokens:
            count = input_estimate(request) + (request.max_tokens or 0)
            denied = ticket.take_tokens(count, int(self._clock() * 1000))
            if denied is not None:
                raise _too_many(denied)
        most = plan.hold.ceiling_picousd
        if most != 0:
            tightest = ticket.tightest()
            if tightest is not None and (most is None or most > tightest[1]):
                plan = self._fit(call, request, plan, tightest)
                most = plan.hold.ceiling_picousd
            # What has no price can't be held; the dearest of the other routes can.
            ticket.hold(most if most is not None else _dearest(plan))
        return plan

    def hold_next(
        self, call: Call, request: ChatRequest, priced: PricedRoute, lost_picousd: int
    ) -> PricedRoute | None:
        """Raise the hold to cover `priced` beside what routes before it may bill; return it, cut if need be.

        None where a budget has no room for both: the hold is what it was. Routes at home need none.
        """
        ticket = call.ticket
        if ticket is None:
            return priced
        most = priced.ceiling_picousd
        if most is None:
            return None if self._blocks_unpriced and ticket.has_budget else priced
        if ticket.raise_to(lost_picousd + most):
            return priced
        room = (ticket.most() or 0) - lost_picousd
        cut = self._cut(call, request, priced, room)
        if cut is None or not ticket.raise_to(lost_picousd + (cut.ceiling_picousd or 0)):
            return None
        return cut

    def headers(self, call: Call) -> Headers:
        """Return the x-ratelimit headers that tell a client where it stands."""
        accounts = self._accounts
        token = call.token
        if token.id == PROBE_ID:
            return []
        of_call = (accounts.token(token.id), accounts.user(token.user), accounts.everyone)
        return rate_headers(of_call, int(self._clock() * 1000))

    def _fit(self, call: Call, request: ChatRequest, plan: Plan, tightest: tuple[Account, int]) -> Plan:
        """Return the plan with the routes that fit into the room there is, cut where that helps."""
        account, room = tightest
        fitting: list[PricedRoute] = []
        unpriced: PricedRoute | None = None
        short: int | None = None
        for priced in plan.routes:
            most = priced.ceiling_picousd
            if most is None:
                unpriced = priced
                if not self._blocks_unpriced:
                    fitting.append(priced)
            elif most == 0 or most <= room:
                fitting.append(priced)
            else:
                short = most if short is None else min(short, most)
                cut = self._cut(call, request, priced, room)
                if cut is not None:
                    fitting.append(cut)
        if fitting:
            return Plan(tuple(fitting), hold_of(call, request, fitting))
        if short is None and unpriced is not None:
            raise _no_price(unpriced)
        raise _spent(account, short or 0)

    def _cut(self, call: Call, request: ChatRequest, priced: PricedRoute, room: int) -> PricedRoute | None:
        """Return the route with the most output that fits into `room`, None where that is too little."""
        if not self._may_cut or request.max_tokens is not None or priced.output_tokens is None:
            return None
        least = LEAST_CUT_TOKENS
        if request.thinking is not None and request.thinking.budget_tokens is not None:
            # Thinking is part of the output, and a provider refuses a limit that leaves nothing beyond it.
            least += request.thinking.budget_tokens
        low, high = least, priced.output_tokens
        if high <= low or ceiling_with(priced, request, low, call.started_ms) > room:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if ceiling_with(priced, request, middle, call.started_ms) <= room:
                low = middle
            else:
                high = middle
        most = ceiling_with(priced, request, low, call.started_ms)
        return replace(priced, ceiling_picousd=most, output_tokens=low, cut_tokens=low)


def _dearest(plan: Plan) -> int:
    return max((each.ceiling_picousd or 0 for each in plan.routes), default=0)


def _whose(account: Account) -> str:
    return {
        "token": "this access token",
        "user": f"the user {account.name}",
        "everyone": "this gateway",
    }[account.kind]


def _too_many(denied: TooMany) -> RequestError:
    account, whose = denied.account, _whose(denied.account)
    if denied.what == "concurrency":
        limit = f"{whose} may have {account.concurrency} requests running at once, and has"
    elif denied.what == "requests":
        assert account.requests is not None
        limit = f"{whose} may make {account.requests.per_minute:,} requests a minute, and has"
    else:
        assert account.tokens is not None
        limit = f"{whose} may use {account.tokens.per_minute:,} tokens a minute, and has"
    seconds = max(1, -(-denied.wait_ms // 1000))
    return RequestError(
        f"Rate limit reached: {limit}. Try again in {seconds} s.",
        status=429,
        type="tokens" if denied.what == "tokens" else "requests",
        code="rate_limit_exceeded",
        retry_after=seconds,
    )


def _spent(account: Account, need: int) -> RequestError:
    assert account.budget is not None
    budget = account.budget
    held = account.held(budget.per)
    running = f", ${usd_text(held)} more is held by running requests" if held else ""
    return RequestError(
        f"You exceeded your current quota: {_PERIODS[budget.per]} of {_whose(account)} is "
        f"${usd_text(budget.picousd, places=2)}, ${usd_text(account.spent(budget.per))} of it is spent"
        f"{running}, and this request may cost up to ${usd_text(need)}.",
        status=429,
        type="insufficient_quota",
        code="insufficient_quota",
    )


def _no_price(priced: PricedRoute) -> RequestError:
    return RequestError(
        f"Nobody knows the price of {priced.route.name}, so no budget can hold it. Its owner can set one: "
        f"chatvault prices set {priced.route.name} --input USD --output USD",
        status=403,
        code="model_not_priced",
        param="model",
    )
