"""Make a small Llama with random weights: it says nothing sensible, at the cost of a real one.

    python make_model.py TOKENIZER_DIRECTORY MODEL_DIRECTORY [--gguf]

Writes what Hugging Face loaders read (config, safetensors, tokenizer, chat template), and with
--gguf the same weights as model.gguf for llama.cpp. Run by the model server's own interpreter;
needs numpy, and safetensors or gguf.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy

HIDDEN, LAYERS, HEADS, KEY_HEADS, INTERMEDIATE, CONTEXT = 512, 8, 8, 4, 1408, 4096
HEAD = HIDDEN // HEADS
RMS_EPSILON, ROPE_THETA = 1e-5, 10_000.0
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def weights(vocabulary):
    """Every tensor by its Hugging Face name, float32, the same each time."""
    random = numpy.random.default_rng(0)

    def matrix(rows, columns):
        return random.normal(0.0, 0.02, (rows, columns)).astype(numpy.float32)

    made = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": numpy.ones(HIDDEN, numpy.float32),
        "lm_head.weight": matrix(vocabulary, HIDDEN),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        made |= {
            name + "input_layernorm.weight": numpy.ones(HIDDEN, numpy.float32),
            name + "post_attention_layernorm.weight": numpy.ones(HIDDEN, numpy.float32),
            name + "self_attn.q_proj.weight": matrix(HEADS * HEAD, HIDDEN),
            name + "self_attn.k_proj.weight": matrix(KEY_HEADS * HEAD, HIDDEN),
            name + "self_attn.v_proj.weight": matrix(KEY_HEADS * HEAD, HIDDEN),
            name + "self_attn.o_proj.weight": matrix(HIDDEN, HEADS * HEAD),
            name + "mlp.gate_proj.weight": matrix(INTERMEDIATE, HIDDEN),
            name + "mlp.up_proj.weight": matrix(INTERMEDIATE, HIDDEN),
            name + "mlp.down_proj.weight": matrix(HIDDEN, INTERMEDIATE),
        }
    return made


def write_hugging_face(tensors, vocabulary, tokenizer, directory):
    """A folder that transformers and vLLM load."""
    from safetensors.numpy import save_file

    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, directory / name)
    settings = json.loads((directory / "tokenizer_config.json").read_text("utf-8"))
    settings["chat_template"] = CHAT_TEMPLATE
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), "utf-8")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": RMS_EPSILON,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "torch_dtype": "float32",
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def write_gguf(tensors, vocabulary, tokenizer, path):
    """One file that llama.cpp loads."""
    import gguf

    document = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    tokens = [None] * vocabulary
    for token, number in document["model"]["vocab"].items():
        tokens[number] = token
    special = {token["content"] for token in document["added_tokens"]}
    kinds = [
        gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens
    ]
    merges = [
        merge if isinstance(merge, str) else " ".join(merge)
        for merge in document["model"]["merges"]
    ]

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(RMS_EPSILON)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    def interleaved(matrix, heads):
        # llama.cpp rotates neighbouring rows, Hugging Face the two halves of a head.
        halves = matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, matrix.shape[1])
        return halves.swapaxes(1, 2).reshape(matrix.shape)

    def add(name, tensor):
        writer.add_tensor(name, tensor if tensor.ndim == 1 else tensor.astype(numpy.float16))

    add("token_embd.weight", tensors["model.embed_tokens.weight"])
    add("output_norm.weight", tensors["model.norm.weight"])
    add("output.weight", tensors["lm_head.weight"])
    for layer in range(LAYERS):
        theirs, ours = f"model.layers.{layer}.", f"blk.{layer}."
        add(ours + "attn_norm.weight", tensors[theirs + "input_layernorm.weight"])
        add(ours + "ffn_norm.weight", tensors[theirs + "post_attention_layernorm.weight"])
        query, key = (tensors[f"{theirs}self_attn.{letter}_proj.weight"] for letter in "qk")
        add(ours + "attn_q.weight", interleaved(query, HEADS))
        add(ours + "attn_k.weight", interleaved(key, KEY_HEADS))
        for name, source in (
            ("attn_v", "self_attn.v_proj"),
            ("attn_output", "self_attn.o_proj"),
            ("ffn_gate", "mlp.gate_proj"),
            ("ffn_up", "mlp.up_proj"),
            ("ffn_down", "mlp.down_proj"),
        ):
            add(f"{ours}{name}.weight", tensors[f"{theirs}{source}.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--gguf", action="store_true")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    document = json.loads((given.tokenizer / "tokenizer.json").read_text("utf-8"))
    vocabulary = len(document["model"]["vocab"])
    tensors = weights(vocabulary)
    if given.gguf:
        write_gguf(tensors, vocabulary, given.tokenizer, str(given.directory / "model.gguf"))
    else:
        write_hugging_face(tensors, vocabulary, given.tokenizer, given.directory)
    count = sum(tensor.size for tensor in tensors.values())
    print(f"{given.directory}: {count / 1e6:.1f} million parameters")


if __name__ == "__main__":
    main()
