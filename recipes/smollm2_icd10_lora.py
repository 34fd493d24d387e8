"""SmolLM2-135M learns to code diagnostic statements in ICD-10-CM: the embedded default, which needs no network.

    accelerate launch recipes/smollm2_icd10_lora.py                    # the published run
    accelerate launch recipes/smollm2_icd10_lora.py --max-steps 20     # does it run?

Needs    2 CPU cores and 8 GB of memory, or any GPU
Learns   the chapter and the code in TOON; the statement and the instruction carry no loss
Judged   on one statement of each category that was held out as a whole, beside the untuned base
Then     make eval card NAME=smollm2-icd10-lora
Never    for billing or treatment without a human coder: see model_cards/smollm2-icd10-lora.md
"""

from medslm import recipe, train

RECIPE = recipe.Sft(
    name="smollm2-icd10-lora",
    base="smollm2-135m-instruct",
    lora="all-linear-r16",
    mixture={"icd10cm": 0.075},  # passes over the corpus: what two CPU cores learn in three minutes
    suite="icd10cm",
    format="toon",
    max_length=256,  # tokens; longer examples are dropped and counted
    global_batch_size=8,
    learning_rate=3e-3,
    num_train_epochs=1,
    validation_fraction=0.005,
    eval_steps=24,
)

if __name__ == "__main__":
    train.main(RECIPE)
