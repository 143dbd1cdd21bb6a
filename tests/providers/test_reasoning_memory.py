"""Reasoning that clients drop."""

from chatvault.core.chat import ChatRequest, Message, ThinkingBlock, ToolCall
from chatvault.providers.reasoning_memory import ReasoningMemory, Thoughts

CALL = ToolCall("toolu_0123456789", "f", '{"a": 1}')
THOUGHTS = Thoughts("hm", (ThinkingBlock("hm", "sig"),))


class Clock:
    now_ms = 1000

    def __call__(self) -> int:
        return self.now_ms


def test_what_a_client_dropped_is_restored():
    memory = ReasoningMemory(Clock())
    memory.remember((CALL,), THOUGHTS)
    sent_back = Message("assistant", None, tool_calls=(ToolCall(CALL.id, "f", '{"a":1}'),))
    restored = memory.restore(sent_back)
    assert restored.reasoning == "hm"
    assert restored.thinking_blocks == THOUGHTS.blocks


def test_what_a_client_kept_stays_its_own():
    memory = ReasoningMemory(Clock())
    memory.remember((CALL,), THOUGHTS)
    kept = Message("assistant", None, tool_calls=(CALL,), reasoning="mine")
    assert memory.restore(kept).reasoning == "mine"


def test_any_of_the_turns_calls_brings_it_back():
    memory = ReasoningMemory(Clock())
    memory.remember((ToolCall("toolu_aaaaaaaaaa", "g", ""), CALL), THOUGHTS)
    assert memory.restore(Message("assistant", None, tool_calls=(CALL,))).reasoning == "hm"


def test_another_tool_under_the_same_id_knows_nothing():
    memory = ReasoningMemory(Clock())
    memory.remember((CALL,), THOUGHTS)
    assert memory.recall(ToolCall(CALL.id, "other", "")) is None


def test_ids_that_come_again_are_not_trusted():
    memory = ReasoningMemory(Clock())
    memory.remember((ToolCall("call_0", "f", ""),), THOUGHTS)
    assert memory.recall(ToolCall("call_0", "f", "")) is None


def test_an_hour_later_it_is_forgotten():
    clock = Clock()
    memory = ReasoningMemory(clock)
    memory.remember((CALL,), THOUGHTS)
    clock.now_ms += 3_599_999
    assert memory.recall(CALL) is THOUGHTS
    clock.now_ms += 1
    assert memory.recall(CALL) is None


def test_the_oldest_goes_when_there_is_no_room():
    memory = ReasoningMemory(Clock(), limit_bytes=3000)
    calls = [ToolCall(f"toolu_{n:010}", "f", "") for n in range(4)]
    for call in calls:
        memory.remember((call,), Thoughts("x" * 500))
    assert memory.recall(calls[0]) is None
    assert memory.recall(calls[1]) is None
    assert memory.recall(calls[2]) is not None
    assert memory.recall(calls[3]) is not None


def test_a_thought_too_large_for_the_memory_drives_nothing_out():
    memory = ReasoningMemory(Clock(), limit_bytes=1000)
    memory.remember((CALL,), Thoughts("x"))
    memory.remember((ToolCall("toolu_aaaaaaaaaa", "f", ""),), Thoughts("x" * 5000))
    assert memory.recall(CALL) is not None


def test_messages_without_tool_calls_are_left_alone():
    message = Message("assistant", "hi")
    assert ReasoningMemory(Clock()).restore(message) is message


def test_a_whole_request_is_restored_for_who_reckons_its_price():
    memory = ReasoningMemory(Clock())
    memory.remember((CALL,), THOUGHTS)
    plain = ChatRequest("m", (Message("user", "u"),))
    assert memory.restore_all(plain) is plain
    turns = (Message("user", "u"), Message("assistant", None, tool_calls=(CALL,)))
    assert memory.restore_all(ChatRequest("m", turns)).messages[1].thinking_blocks == THOUGHTS.blocks
