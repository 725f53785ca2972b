# %% The data
import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("sales.csv", parse_dates=["month"])
print(len(sales), "rows")
sales.groupby("region")["revenue"].agg(["sum", "mean"])

# %% Revenue by region
totals = sales.groupby("region")["revenue"].sum()
plt.bar(totals.index, totals.values)
plt.title("Revenue by region")
plt.ylabel("EUR")

# %% Revenue over time
for region, rows in sales.groupby("region"):
    plt.plot(rows["month"], rows["revenue"], label=region)
plt.title("Revenue over time")
plt.legend()
