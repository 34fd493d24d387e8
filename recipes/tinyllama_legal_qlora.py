"""TinyLlama-1.1B learns to sum up bills of law, in 4 GB of GPU memory.

    accelerate launch recipes/tinyllama_legal_qlora.py                # the published run
    accelerate launch recipes/tinyllama_legal_qlora.py --max-steps 2  # does it run? On a CPU with --gpu auto

Needs    one GPU of 4 GB
Learns   the summary; the bill carries no loss
Judged   ROUGE, BERTScore and faithfulness on the test bills that fit into 2,048 tokens, beside the untuned base
Then     make eval card push NAME=tinyllama-legal-qlora
Never    as legal advice: see model_cards/tinyllama-legal-qlora.md
"""

from medslm import recipe, train

RECIPE = recipe.Sft(
    name="tinyllama-legal-qlora",
    base="tinyllama-1.1b-chat",
    quantization="nf4",  # frozen weights in 4 bits (arXiv:2305.14314)
    lora="all-linear-r24",
    mixture={"billsum": 1.0},
    suite="billsum-brief",  # test bills that this base reads whole
    max_length=2048,  # all that the base reads; no bill fits into 448 tokens
    global_batch_size=8,
    gpu="4gb",
    learning_rate=2e-4,
    num_train_epochs=3,
    validation_fraction=0.01,
    eval_steps=200,
)

if __name__ == "__main__":
    train.main(RECIPE)
