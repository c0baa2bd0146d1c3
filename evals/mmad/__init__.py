"""MMAD (Jiang et al., ICLR 2025, arXiv 2410.09453): data -> questions -> answers -> scores -> report."""
