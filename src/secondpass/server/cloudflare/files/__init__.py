"""The files of an instance: put in, recorded, indexed beside the requests, taken out."""
