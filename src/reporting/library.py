"""The chart library, for inlining."""

from functools import cache

import vl_convert

# what the bundle leaves behind for the page's own scripts
EXPORT = "window.vegaEmbed=vegaEmbed;"


@cache
def inline_library(vega_lite: str) -> str:
    """Returns Vega, Vega-Lite and Vega-Embed as one classic script that defines `vegaEmbed` and nothing else.

    Args:
        vega_lite: The version of Vega-Lite, for example ``6.4``; that of Vega follows from it.

    Returns:
        JavaScript that may stand inside a script element.
    """
    return "(function(){" + vl_convert.javascript_bundle(EXPORT, vl_version=vega_lite) + "})();"
