"""Llama-3.2-3B learns to think about a medical question before it answers, in <think> and <response>.

    accelerate launch recipes/llama32_3b_medical_cot_qlora.py                # the published run
    accelerate launch recipes/llama32_3b_medical_cot_qlora.py --max-steps 2  # does it run? On a CPU with --gpu auto

Needs    one GPU of 12 GB
Learns   the chain of thought and the answer; the question carries no loss
Judged   ROUGE-L of the answers to held-out questions before and after, and three sample cases answered side by side;
         by `--suite reasoning` the structure of the answers too
Then     make eval card push NAME=llama32-3b-medical-cot-qlora
Never    for diagnosis or treatment: see model_cards/llama32-3b-medical-cot-qlora.md
"""

from medslm import recipe, train

RECIPE = recipe.Sft(
    name="llama32-3b-medical-cot-qlora",
    base="llama-3.2-3b-instruct",
    quantization="nf4",  # frozen weights in 4 bits (arXiv:2305.14314)
    lora="all-linear-alpha16-r16",  # the seven linear modules of a layer
    mixture={"medical-o1-reasoning": 1.0},
    suite="medical-o1",
    format="think",
    max_length=2048,
    validation_rows=100,  # the first ones
    global_batch_size=16,  # two by eight, laid out as the memory allows
    gpu="12gb",
    learning_rate=5e-4,
    weight_decay=0.01,
    warmup_steps=25,
    num_train_epochs=1,
    eval_steps=100,
)

if __name__ == "__main__":
    train.main(RECIPE)
