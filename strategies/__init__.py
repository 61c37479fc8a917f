"""The proposed method, AVCL (STELLA, ICML 2024), and what only it needs: one strategy a file."""
