"""Data sets of images with boxes: Pascal VOC, COCO, tables; read, checked and converted."""
