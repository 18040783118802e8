"""The deep track: networks, data, training and the papers' experiments on real images."""
