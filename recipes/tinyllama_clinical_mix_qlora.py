"""TinyLlama-1.1B learns five trades at once, from discharge notes to law, in 4 GB of GPU memory.

    accelerate launch recipes/tinyllama_clinical_mix_qlora.py                # the published run
    accelerate launch recipes/tinyllama_clinical_mix_qlora.py --max-steps 2  # does it run? On a CPU with --gpu auto

Needs    one GPU of 4 GB
Learns   summaries, answers, letters, codes; what is asked carries no loss
Judged   in each trade: ROUGE, BERTScore and faithfulness, letters, F1 of codes; latency, memory and tokens of an answer
Then     make eval card push NAME=tinyllama-clinical-mix-qlora
Never    for diagnosis, billing or legal advice, nor in a business (Asclepius is cc-by-nc-sa-4.0):
         see model_cards/tinyllama-clinical-mix-qlora.md

`medslm compare` sets it beside other runs and a larger base; who was asked in another template gets a table of its own:
`medslm eval llama-3.2-3b-instruct --suite five-trades --format toon-countless`, then
`medslm compare tinyllama-clinical-mix-qlora llama-3.2-3b-instruct --suite five-trades`.
"""

from medslm import recipe, train

RECIPE = recipe.Sft(
    name="tinyllama-clinical-mix-qlora",
    base="tinyllama-1.1b-chat",
    quantization="nf4",  # frozen weights in 4 bits (arXiv:2305.14314)
    lora="all-linear-r24",
    mixture={
        "asclepius-discharge-summarization": 0.5,
        "medquad": 0.5,
        "pubmedqa-labeled": 4.0,
        "icd10cm-list": 1.0,
        "billsum": 0.5,
    },
    suite="five-trades",
    format="toon-countless",  # of the codes; the others are plain text, which every format writes alike
    max_length=2048,  # notes and bills do not fit into 448 tokens; the memory is the same
    global_batch_size=8,
    gpu="4gb",
    learning_rate=2e-4,
    num_train_epochs=3,
    validation_fraction=0.01,
    eval_steps=200,
)

if __name__ == "__main__":
    train.main(RECIPE)
