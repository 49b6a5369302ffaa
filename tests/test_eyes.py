"""Which models are shown images, by the names under which hosts and people's own machines have them."""

import pytest

from engine import load_mapping

EYES = {
    "huggingface": """
        Qwen/Qwen2.5-VL-7B-Instruct meta-llama/Llama-3.2-11B-Vision-Instruct CohereLabs/aya-vision-32b google/gemma-3n-E4B-it
        CohereLabs/command-a-vision-07-2025 baidu/ERNIE-4.5-VL-28B-A3B-PT Qwen/QVQ-72B-Preview google/gemma-3-27b-it
        mistralai/Mistral-Small-3.2-24B-Instruct-2506 Qwen/Qwen3-Omni-30B-A3B-Instruct zai-org/GLM-4.5V""",
    "openai-compatible": """
        lfm2-vl-1.6b liquid/lfm2.5-vl-1.6b LFM2-VL-1.6B-Q8_0 Llama-3.1-8B-Vision-378 qwen2.5vl:7b qwen3-vl:8b qwen2.5-vl
        qwen3.5:27b qwen3-omni-flash glm-5v-turbo glm-5.3-flash glm-4.5v llama3.2-vision gemma3 llava kimi-k2.5
        deepseek-v4-flash-vision""",
}
NO_EYES = {
    "huggingface": "Qwen/Qwen3-32B google/gemma-3-1b-it openai/gpt-oss-20b",
    "openai-compatible": """
        zai-org/GLM-5-FP8 zai-org/GLM-5.1-FP8 GLM-5-NVFP4 zai/glm-5.3-fast qwen3:8b qwen3 qwen2.5:7b qwen3-coder:30b
        llama3.1:8b gpt-oss:20b deepseek-v3.2 liquid/lfm2-8b-a1b minimax-m2 codestral-latest mixtral:8x7b step-3.5""",
}
SAME = {"openai-compatible": ("openai-compatible", "anthropic-compatible"), "huggingface": ("huggingface",)}


@pytest.mark.parametrize(("names", "sees"), [(EYES, True), (NO_EYES, False)], ids=["eyes", "no eyes"])
def test_R27_who_is_shown_images(names: dict[str, str], sees: bool) -> None:
    loaded = {mapping: load_mapping(mapping) for mappings in SAME.values() for mapping in mappings}
    wrong = [
        (mapping, model)
        for told, models in names.items()
        for mapping in SAME[told]
        for model in models.split()
        if loaded[mapping].facts_of(model).images is not sees
    ]
    assert wrong == []
