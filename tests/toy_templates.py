"""Chat templates of every shape, written for the tests in the manner of well-known ones, and byte tokenizers for them."""

from __future__ import annotations

from typing import Any

import toy

Shape = tuple[str, list[str], str]
"""Template, special tokens (the first is BOS), the token that ends a turn."""

CHATML: Shape = (toy.CHATML, ["<|im_start|>", "<|im_end|>"], "<|im_end|>")
ZEPHYR: Shape = (  # TinyLlama-1.1B-Chat: its roles are plain text, and </s> both ends a turn and pads
    "{% for message in messages %}\n{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token }}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    ["<s>", "</s>"],
    "</s>",
)
LLAMA3: Shape = (  # writes its own <|begin_of_text|>, and trims what it is given
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "<|eot_id|>",
)
DATED: Shape = (  # Llama 3.2: the day stands in the prompt
    LLAMA3[0].replace("{{ bos_token }}", "{{ bos_token }}{{ 'Today: ' + strftime_now('%d %b %Y') + '\n' }}"),
    *LLAMA3[1:],
)
GEMMA: Shape = (  # calls the assistant a model, and refuses a system's turn
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}{{ '<start_of_turn>' + message['role'] | replace('assistant', 'model')"
    " + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    ["<bos>", "<start_of_turn>", "<end_of_turn>"],
    "<end_of_turn>",
)
PHI: Shape = (  # every role is a token, and the turns end with one
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    ["<s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
    "<|end|>",
)
BRACKETS: Shape = (  # Llama 2: a space stands on both sides of an answer
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content']"
    " + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}",
    ["<s>", "</s>"],
    "</s>",
)
QWEN3: Shape = (  # thinks: an empty thought stands in the prompt, if it is asked not to
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' and loop.last %}"
    "<think>\n{{ message.reasoning_content | default('') }}\n</think>\n\n{% endif %}"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
    *CHATML[1:],
)
SMOLLM3: Shape = (  # thinks in the text itself, and tells the day
    '<|im_start|>system\nToday: {{ strftime_now("%d %B %Y") }}\n{% if enable_thinking %}Use <think>.{% endif %}<|im_end|>\n'
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' and not "
    "enable_thinking %}<think>\n\n</think>\n{% endif %}{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if not enable_thinking %}<think>\n\n</think>\n{% endif %}"
    "{% endif %}",
    *CHATML[1:],
)
HARMONY: Shape = (  # gpt-oss: reasoning is a message of its own, and an answer names its channel
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{% if message.thinking %}"
    "<|start|>assistant<|channel|>analysis<|message|>{{ message.thinking }}<|end|>{% endif %}"
    "<|start|>assistant<|channel|>final<|message|>{{ message['content'] }}<|return|>{% else %}"
    "<|start|>{{ message['role'] }}<|message|>{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}",
    ["<|startoftext|>", "<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"],
    "<|return|>",
)
SHAPES = {
    "chatml": CHATML,
    "zephyr": ZEPHYR,
    "llama-3": LLAMA3,
    "dated": DATED,
    "gemma": GEMMA,
    "phi": PHI,
    "brackets": BRACKETS,
    "qwen3": QWEN3,
    "smollm3": SMOLLM3,
    "harmony": HARMONY,
}
THINKING = {name: SHAPES[name] for name in ("qwen3", "smollm3", "harmony")}


def tokenizer(shape: Shape, merges: list[tuple[str, str]] | None = None, adds_bos: bool = True) -> Any:
    """A byte tokenizer with the special tokens of a template; `merges` glues pairs of its letters.

    With `adds_bos` it puts BOS before a text, which would double what a template has written.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    template, special, end = shape
    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges or [])]
    plain = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, merges or []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    named = {"eos_token": end, "pad_token": end} if end else {}
    made = PreTrainedTokenizerFast(
        tokenizer_object=plain, chat_template=template, bos_token=special[0] if special else None, **named
    )
    made.add_tokens(special, special_tokens=True)
    if made.bos_token and adds_bos:
        begin = (made.bos_token, made.convert_tokens_to_ids(made.bos_token))
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{made.bos_token} $A", special_tokens=[begin]
        )
    return made


def without_template(adds_bos: bool = False) -> Any:
    """A base that has seen no conversation, such as GPT-2: one token begins and ends a text."""
    made = tokenizer(("", ["<|endoftext|>"], "<|endoftext|>"), adds_bos=adds_bos)
    made.chat_template = None
    return made
