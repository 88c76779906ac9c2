"""Layer names in which underscores stand for dots, as kohya's scripts and LyCORIS write them, read back.

A name is cut into the words that layers consist of. The words that have underscores themselves are listed; every other
is one between two underscores. Tests cut the names of all layers of the published architectures.
"""

import re

WORDS = """
    add_embedding add_k_proj add_q_proj add_v_proj class_embedding context_block
    context_embedder conv_in conv_norm_out conv_out conv_shortcut down_blocks double_blocks emb_layers ff_context
    final_layer final_layer_norm guidance_embedder guidance_in img_attn img_in img_mlp img_mod in_layer in_layers
    input_blocks joint_blocks adaLN_modulation label_emb layer_norm1 layer_norm2 ln_k ln_q linear_1 linear_2 mid_block
    middle_block norm1_context norm_added_k norm_added_q norm_k norm_out norm_q out_layer out_layers out_proj
    output_blocks pos_embed position_embedding proj_in proj_mlp proj_out q_proj k_proj v_proj self_attn single_blocks
    single_transformer_blocks skip_connection t_embedder text_embedder text_model text_projection time_emb_proj
    time_embed time_embedding time_in time_text_embed timestep_embedder to_add_out to_k to_out to_q to_v
    token_embedding transformer_blocks txt_attn txt_in txt_mlp txt_mod up_blocks vector_in x_block x_embedder y_embedder
"""
CUT = re.compile("(?:" + "|".join(sorted(re.findall(r"\w+", WORDS), key=len, reverse=True)) + r"|[^_]+)(?=_|$)")


def dotted(name: str) -> str:
    """Puts the dots back.

    Args:
        name: ``down_blocks_0_attentions_0_proj_in``.

    Returns:
        ``down_blocks.0.attentions.0.proj_in``; of other words something that no layer is called.
    """
    return ".".join(CUT.findall(name))
