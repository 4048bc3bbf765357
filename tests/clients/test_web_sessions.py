"""Web frameworks that keep their sessions and their cache in Quorate."""


def test_django(stage, python, figures):
    figures(**stage.perform(*python("shoppers.py"), *python("django_shop.py")))


def test_express(stage, python, node_packages, figures):
    figures(**stage.perform(*python("shoppers.py"), "node", node_packages / "express_shop.js"))
